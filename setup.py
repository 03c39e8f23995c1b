"""The compiled kernels; all else about the package stands in setup.cfg."""

from Cython.Build import cythonize
from setuptools import Extension, setup

# Sums of floats are to be the same everywhere: no fused multiply-add where a processor has one.
kernels = Extension("*", ["neuroadda/kernels/*.pyx"], extra_compile_args=["-O3", "-g0", "-ffp-contract=off"])
directives = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}

setup(ext_modules=cythonize(kernels, compiler_directives=directives, build_dir="build/kernels"))
