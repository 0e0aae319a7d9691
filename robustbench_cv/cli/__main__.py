"""python -m robustbench_cv.cli"""

from robustbench_cv.cli import main

if __name__ == "__main__":
    main()
