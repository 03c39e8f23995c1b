"""Which boxes should a person label? The boxes study: strategies against random boxes.

Written before the first run (2026-11-29). The first study (docs/results/active.csv) compared six strategies with random boxes,
by 3 seeds and one training of each source. It chose `median+diverse` on the six targets that it was judged on.

Hypothesis. At least one of three strategies gives a lower VOI after fine-tuning than as many random boxes, on domains that it
was not chosen on: `median+diverse` (today's default), `coverage` and `TypiClust` (`studies.boxes.strategies`). The evidence of
others is against it: nnActive (arXiv 2511.19183) finds little that beats random boxes with tissue.

Baseline. `random` of the product: any box of the lattice of half-overlapping boxes that is all tissue, without overlap. The
other strategies choose from the same lattice. These volumes have no mask, so that tissue is where there is data.

Strategies. Their settings are fixed here and not tuned: coverage and TypiClust look at 1024 boxes drawn at random, the
product's strategies at their own default. The first box of coverage is the one whose four quarters cover most. With one box,
`median+diverse` is the box of median uncertainty. The two papers leave room that was filled here: features are the deepest of
the source's network, distances Euclidean, and k of coverage is the number of parts of the volume over that of the boxes' parts.

Targets. The eight of `studies.boxes.plan.TARGETS`, of seven domains: mouse_cortex_sssem and mouse_cortex_ac3 are one, since
their tissue is the same and their boxes come from overlapping volumes. Each is fine-tuned from one source, fixed in that table,
that never saw its domain. A box is one section of 120 x 120 pixels of 8 nm; n = 1, 4, 16 (fly_brain_sstem has no room for 16).
If a strategy chooses so that fewer fit, which can happen there with 4, it is judged on those, as a user would be.
Networks, trainings and scoring are those of `studies.transfer.study`: 600 iterations for a source, 80 for a fine-tuning.

Draws. Draw d trains the sources with seed d, and is the seed of the strategy, of the random boxes and of the batches. All
strategies of a case (target, n, draw) so begin with the same weights and the same seed of batches; only such rows are compared,
and the digest of the source in each row says which they are. A case counts only if all four strategies have rows of one digest.
14 draws: 1288 runs. The study is not stopped for what it shows; if time ends before, whole draws count.

Endpoints. VOI (nats) on the target's test part at the threshold that was best on the labelled boxes: the main one, for it is
what a user gets. VOI at the best threshold is the second. The measure is log(VOI / VOI of random boxes) of a case: its mean
over draws, then over n, then over the targets of a domain. Tables show exp of it, less 1.

Chosen on, judged on. Leave one domain out: for each of the seven domains, the strategy with the lowest mean over the other six
is taken, and its effect on the domain left out is what counts. The domain is the unit. Intervals are Student's 95 % intervals
of the seven values (6 degrees of freedom); a bootstrap of seven is too narrow. Intervals of a single strategy or n are made in
the same way, and described, not tested. The values of domains share strategies chosen on overlapping sets, which the interval
does not know. `median+diverse` was the best of the first study on six of the eight targets, though with other weights: only
mouse_cerebellum and mouse_cortex_ac3 are new to it.

Rule. The default of `propose` becomes the strategy with the lowest mean over all seven domains, if the upper end of the
interval of leave-one-domain-out is below 0 at the chosen threshold, and the strategy's mean is below 0 at the best threshold.
If not, the pages say that nothing is shown to win. Then the default stays `median+diverse`, unless its own interval at the
chosen threshold is above 0: then it becomes `random`. `judgement.decide` is this rule.

Noise that is expected (`python -m studies.boxes.judgement --noise`: rows of the first study, with the random boxes that the
transfer study has from the same sources). The standard deviation of log VOI between seeds, within a target and n, is

                            chosen threshold    best threshold
    random                  0.26                0.17
    median+diverse          0.16                0.11
    difference, paired      0.32                0.17
    the same at n = 1       0.35                0.22
                n = 4       0.36                0.17
                n = 16      0.22                0.09

Pairing by the seed of batches alone did not help: without it the difference would have 0.30 and 0.20. To see a difference of
5 % (0.051) on these eight targets, all n together, with a power of 0.8 at a level of 0.05 takes (2.8 x 0.32 / 0.051)^2 = 303
pairs at the chosen threshold and 86 at the best: with 23 cases a draw, 14 draws and 4. For a single n it takes about 46 draws
at n = 1 or 4. So 14 draws show 5 % in the mean of all n, and about 9 % at n = 1 or 4. The first study had one training of each
source; here each draw has its own, which may add to the noise.

Whether it holds on another domain is another question, which more draws do not answer. The effect of median+diverse differed
between targets with a standard deviation of 0.11 at either threshold; noise alone would give 0.11 at the chosen threshold and
0.06 at the best. If domains differ by 0.1, the half-width of the interval is 0.1 with any number of draws; if they do not
differ, it is about 0.05 with 14. A strategy that wins by 5 % is therefore likely not to pass, and one that wins by 15 % is.
"""
