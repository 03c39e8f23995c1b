"""What `neuroadda tune` is worth on boxes that took no part in its choice.

Which guard: written down before any volume of serial sections was looked at with today's default. On the two FIB-SEM volumes by
their own backbones some twenty rules were tried: guards of 0 to 0.95, a bound on the loss of any one box, and choosing by the mean
gain less one or two standard errors. With the guard of 0.8 (of quarters 0.9) up to 10 of 100 draws were worse by over 2 %, with a
stricter one (0.9, of quarters 0.95) up to 4, most often none; it also missed a part of the gain. No other rule was clearly better
than both. The stricter guard is taken if on the other sets it at least halves the share of draws that are worse by over 2 %, and
keeps at least 80 % of the mean gain.

By that criterion it is to be taken: 2.0 % of draws become 0.8 %, 94 % of the gain stays. But without the set of a foreign backbone,
which has most of the gain, 78 % of it stay. The guard is as it was.

Smaller pieces of large boxes: written down before the run of `studies.tuning.pieces` (2026-11-30). One or two boxes are cut into
quarters. A train part of many megavoxels has only four of them, and the default is kept although a better setting is there: on
fly_medulla_fibsem (the network of the zoo before) 1.377 on the test part, 1.241 by the lowest mean. The alternative: 4, 9 or 16
pieces, as many as have at least 100,000 voxels. It was made from four volumes with the networks of the zoo before (with 16
pieces: medulla 1.241, the others as with quarters). Rule: it is taken if with today's networks, chosen on one labelled part
and scored on another that took no part, it is worse than the default by over 2 % on no more sets than quarters are, and its
mean change is not above theirs. The guard stays at 0.9. Small boxes are cut as before, so that the study of boxes is unchanged.

By that rule it is refused (docs/results/tuning_pieces.md): on fly_larva_l3_sstem the VOI doubles. The backbone learned from the
part that the choice is made on, and pieces of such a part agree with each other, but not with another part.

Larger size rules: written down before the run of `studies.tuning.sizes` (2026-11-30). The candidates of `neuroadda tune` merge
fragments below 400, 1,600 or 3,200 voxels; abiss, whose VOI is lower on two of four volumes, tries 200 to 12,800. Hypothesis: 800,
6,400 and 12,800 beside them lower the VOI of what is chosen. Rule: they are taken if, on the sets of `studies.tuning.pieces` with
today's networks, chosen on the quarters of one part and scored on another, the mean change against the default is lower than with
today's candidates, and no more sets are worse than the default by over 2 %. The volumes with the networks of the zoo before, beside
abiss, are looked at after that, whatever comes of it, and tell how far abiss is.

By that rule they are refused (docs/results/tuning_sizes.md): no choice is better for them, and one gain that today's candidates
have is lost in a larger spread. With the networks beside abiss, the choices with them are those without (fly_medulla_fibsem 1.376,
fly_fibsem 0.263), and the lowest of all stays, too (1.285; 0.228 for 0.227): size rules are not why abiss is better there.
"""
