"""What `neuroadda tune` is worth on boxes that took no part in its choice.

Which guard: written down before any serial-section volume was looked at. On the two FIB-SEM volumes by their own backbones, twenty-odd
rules were tried: guards of 0 to 0.95, a bound on the loss of any one box, and choosing by the mean gain less one or two
standard errors. Only stricter guards (0.9, of quarters 0.95) left no more draws that were worse by over 2 % than 2 in 100; they also
missed a part of the gain. The stricter guard is taken if on the volumes of serial sections, and on the FIB-SEM volume by another
backbone, it at least halves the share of draws that are worse by over 2 %, and keeps at least 80 % of the mean gain.
"""
