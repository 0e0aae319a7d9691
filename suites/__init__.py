"""Benchmark suites, one a file. Reached by name through the registry."""

if __name__ != "robustbench_cv.suites":
    raise ImportError("import this package as robustbench_cv.suites: under the name '" + __name__ + "' it would be a second copy")
