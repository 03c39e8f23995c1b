"""Is the queue of likely errors worth a person's time?

The second plan, for fragments by steepest ascent and the zoo of today, was written on 2026-11-29, before anything was computed on a
test part with these fragments. The first plan and its results, of fragments by seeds, are in the history of this file.

Hypothesis. In the order of expected gain, at least twice as many of the first 20 and of the first 100 candidates are errors as in
the order of size alone (the gain if the answer were yes), on the test part of each of the four volumes, and on
mouse_cortex_ac3_test, a volume on which nothing was chosen. On mouse cortex, 50 decisions in this order reach half of the reachable
fall of VOI.

What is an error. A candidate has two sides. A merge is an error if the truth label that each side shares most voxels with is the
same; a split is one if it is not. Label 0 does not count; a side without labels makes no error.

What is reachable. Each region of certain fragments takes its main label, and regions of one label are one segment if contacts join
them. The first plan joined all regions of a label, also those that do not touch in the volume, which no decision can join. Both are
in the table.

Choice. On what the trainings of the backbones held out (*validation*), and by nothing else. Of merges, logistic regression with an
L2 penalty of 1 on standardised columns but the first; each volume has the same sum of weights. Columns: 1, the score above the
threshold, the logarithm of the contact over the smaller side to the 2/3, the logarithm of the smaller side. Of splits, the mean
share of errors among the cuts of a volume (see below). For mouse cortex the validation part is all of the sections 48 to 55 of AC4.
Each validation part is also ranked by what the other three give.

Tried on validation parts alone, and left out: the score times the logarithm of the contact, and the orphan (columns of the first
plan: worse); rivals, by how much the best other contact of the smaller and of the larger side scores above this one (equal but for
the place of one error, with a sign that makes no sense); the share of the smaller side's contacts; more thresholds to fit on;
likelihood squared times gain (more errors among the first 20, less gain after 50).

Changed after the first judgement. Splits had a regression of their own, with the columns of merges. On mouse_cortex_ac3_test, whose
segments are larger than any of a validation part, it expected 72 of 434 cuts to be errors, where 28 are, and put cuts of the
largest segment first: with 12 errors among the cuts of all validation parts, the weight of the size was an extrapolation.
Ranking each validation part by what the others give, a constant reached more after 50 decisions (and less after 100), so it
replaced the regression; nothing else was changed. The volume is since then not untouched. The page has the results of both.

Judgement. Test parts, on which no backbone was trained and no weight was chosen: precision at 20 and at 100 of four orders
(expected gain; size alone; likelihood alone; the mean of 200 random orders), all of the same candidates. Then an oracle answers
the queue one by one with the truth, each decision applied before the next; a candidate that earlier decisions have answered is
passed over at no cost, a wrong suggestion costs a decision. An all-knowing order, whose next decision is that after which VOI is
lowest, tells about what decisions of this kind can reach. Where the first 20 (100) of the order of size alone hold more than half
of what any order could have among them, twice as many is impossible: the page says so.
"""
