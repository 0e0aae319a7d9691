"""Scenes, the embedded data set: pictures rendered from descriptions, so that every edit has its exact counterfactual.

`generate` draws a `Scene` (a description) for an index; `Scene.render` paints it: a backdrop for the context, then each object
as a layer of its own from far to near, with its shadow, then the light of the hour. Every element draws its details from its own
seed (`Dice`), never from a shared stream, so removing, recolouring or moving one leaves the others as they were, to the bit.
`scenes` serves them as a data set and `arrays` in bulk. Only numpy's + - * / and sqrt on float32, and integer hashes, reach a
pixel: the same bytes on every platform.

An object that is turned is drawn by the same function with another pen, which keeps its strokes as solids (`depth`, `solid_pen`,
`solids`); one that is not turned is drawn flat, as ever.

A context is one function of a `Stage` (`built`, `nature`), an object class one function of a `Pen` (`vehicles`, `animals`,
`people`, `things`); `classes` names them and `render` lists them. Changing a pixel means raising RENDERER_VERSION.
"""
