"""The 15 corruptions of ImageNet-C and the 4 that its authors held out, under their own names."""
