"""What visits every voxel, edge or fragment one by one, compiled when the package is installed.

A kernel is given arrays of the types it names, and checks nothing: each has one caller, in Python, which says what it is for.
"""
