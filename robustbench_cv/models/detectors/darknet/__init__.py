"""Darknet's networks: the .cfg text, the layers that it names, the .weights bytes. Redmon, https://pjreddie.com/darknet

`cfg` reads and writes the text, `network` builds it, `weights` reads and writes its numbers, `heads` turns maps into boxes and scores,
`detector` is the model around all of it, `tables` holds the published networks, `losses` what two of them were trained with.
"""
