"""What neurites are made of, and the streams of random bits that everything is drawn from; see `phantom_geometry.pyx`."""

cdef enum Salt:
    END = 0
    BRANCH = 1
    PLACE = 2
    CALIBER = 3
    LOCAL = 4
    ORGANELLE = 5
    FORM = 6
    SECTION = 16
    NOISE = 17
    TEXTURE = 18
    TONE = 19
    VESICLE = 20

cdef struct Link:
    double a[3]  # ends, nm, zyx
    double b[3]
    double radius_a
    double radius_b
    double organelle  # two random numbers in [0, 1): what it holds, and its form
    double form
