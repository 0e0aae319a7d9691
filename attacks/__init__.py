"""Published attacks, one a file, composed from the library's parts. Reached by name through the registry."""

if __name__ != "robustbench_cv.attacks":
    raise ImportError("import this package as robustbench_cv.attacks: under the name '" + __name__ + "' it would be a second copy")
