"""What neurites are made of; see `phantom_geometry.pyx`."""

cdef struct Link:
    double a[3]  # ends, nm, zyx
    double b[3]
    double radius_a
    double radius_b
    double organelle  # two random numbers in [0, 1): what it holds, and its form
    double form
