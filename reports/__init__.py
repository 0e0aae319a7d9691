"""Tables and figures, one family a file. Reached by name through the registry."""

if __name__ != "robustbench_cv.reports":
    raise ImportError("import this package as robustbench_cv.reports: under the name '" + __name__ + "' it would be a second copy")
