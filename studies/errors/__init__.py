"""Is the queue of likely errors worth a person's time?

Written before anything was computed on a test part (2026-11-29).

Hypothesis. In the order of expected gain, at least twice as many of the first 20 and of the first 100 candidates are errors as in
the order of size alone (the gain if the answer were yes), on the test part of each volume. On mouse cortex, 50 decisions in this
order reach half of the fall of VOI that any set of decisions could reach.

What is an error. A candidate has two sides. A merge is an error if the truth label that each side shares most voxels with is the
same; a split is one if it is not. Label 0 does not count; a side without labels makes no error.

Choice. The weights of the likelihood are chosen on the parts that the trainings of the backbones held out (*validation*), and
by nothing else: logistic regression with an L2 penalty of 1 on all weights but the first, of candidates that are weighed (A)
all alike, or (B) by the gain that they would have, so that each volume has the same sum of weights. Of A and B, that one is
taken whose mean precision at 20 (if equal, at 100) is higher when each validation part is ranked by weights from the other
three.

Judgement. Test parts, on which no backbone was trained and no weight was chosen: precision at 20 and at 100 of four orders
(expected gain; size alone; likelihood alone; the mean of 200 random orders), all of the same candidates. Then an oracle answers
the queue one by one with the truth, each decision applied before the next; a candidate that earlier decisions have answered is
passed over at no cost, a wrong suggestion costs a decision. The reachable VOI gives each region of certain fragments the segment
of its main label.

Added after the first run on the test parts. (1) Precision of the decisions that the oracle makes, beside that of the list: many
cuts of one merger are right of the list, and only the first is asked. (2) An all-knowing order, whose next decision is that after
which VOI is lowest: it tells about what decisions of this kind can reach at all. No weight was changed.
"""
