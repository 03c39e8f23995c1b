"""Which evidence, without labels, tells the source that segments a new volume best before any training?

Written before the first run (2026-11-28).

Hypothesis. Of the zoo's sources, that with the highest mean consistency (`neuroadda.domains.consistency`: mirror image and
contrast) has the lowest zero-shot VOI at threshold 0.5, or one within 10 % of it. It does so better than MMD^2.

Targets. Every labelled volume in `targets.TARGETS`; sources trained on the target's own domain are left out. In 2-D each
section is segmented and scored alone; in 3-D only volumes whose ids are linked count, and sources that predict no affinity
along z are left out. The generalist saw most of the targets' domains. It is no candidate, but a row of its own.

Ways to choose. Consistency in 2-D and in 3-D (the mean over crops and both transformations; each transformation alone);
boundary entropy (lowest); MMD^2 in five ways: as the ranking before this study (own network, maximum, several bandwidths,
unbiased), as in the paper (own network, mean, median, biased), over the source's own null (the 95 % quantile of MMD^2
between random halves of the source's own blocks), by one common network (the generalist's), and after raw is given the mean
and spread of the source's raw; the sum of the ranks by consistency and by MMD^2 over its null, ties by the first (added after
a look at fly_fibsem_test alone); Frechet distance of the same features; same species, else any (the mean over them); the
generalist; random (the mean over all).

Measures, over targets: regret (VOI of the chosen over the lowest, less 1), hit rate (the chosen is the best), Spearman's
correlation of the evidence with VOI over a target's sources. VOI at threshold 0.5 is the main one, at the best threshold the
second. A target's evidence is the mean over seeds. Intervals: 95 % percentile bootstrap over targets (10,000 resamples).

Sanity. All sources, own domain included, on each target whole and on 50 x 100 x 200 voxels of it, seed by seed: is the
own-domain source first (the generalist aside)?

What is chosen on which targets. The number of crops and the transformations are chosen on `targets.CHOSEN_ON` alone; the
others judge. The guard (least and greatest share of boundary voxels) is set so that no source with a VOI within 10 % of the
best is left out on `targets.CHOSEN_ON`.

Rule. The default becomes the way with the lowest mean regret at threshold 0.5 on the judging targets (2-D and 3-D together),
if the upper end of its interval is below the mean regret of random; otherwise consistency stays an entry of the table, and
the generalist is the default.

Second run (written before it, 2026-11-29). The first run's crops of 8 x 128 x 128 voxels were mostly context: crops of 16 x 96 x 96
cost 0.65 of the CPU seconds and hold 1.1 times the voxels. Crops, their number and the number of patches are now those of the
product (`RankConfig`), and the sanity of small parts is judged with three seeds, by every way. Zero-shot scores are those of the
first run. Hypothesis, measures and rule are as above; the weight of MMD stays 0.3. The smaller crops become the default if, by one
draw (the mean over seeds), the default's regret is no more than 2 points of per cent above that by the first four crops of the
first run on either set of targets (1.8 % judging, 14.1 % chosen on; by all six 1.8 % and 6.7 %); else the old crops stay.

Third run (written before it, 2026-11-29): a zoo that was trained longer and with wide contrast (`tools/build_zoo.py`), 32 patches,
fragments of 3-D segmentations by steepest ascent, the product's default. Everything is measured anew; hypothesis, measures and rule
are as above, and the weight of MMD stays 0.3. The number of crops becomes the smallest of 2, 3, 4 by which the default's regret, of
one draw, is no more than 2 points of per cent above that by four, on either set of targets.

A hypothesis after the third run, judged on networks that it was not made from (2026-11-29). The rows of the third run suggested:
consistency less 2 MMD, where the target's patches have the mean and standard deviation of the source's raw, chooses better than
the default, consistency less 0.3 MMD of raw as it is. The second run's rows are of the same targets, but of other networks (the
zoo before): `ranking_second_*.csv`. Rule: the hypothesis becomes the default if, by one draw with three crops (the mean over
seeds), its mean regret over all cases of the second run is no higher than that of the default. Distances of the third run are
measured again, now with the mean and standard deviation that an entry of the zoo holds (of the patches, no longer of the volume).

Fourth run (written before it, 2026-11-29): more patches, fewer transformations, small volumes. The networks, zero-shot scores and
crops are those of the third run; only MMD of matched raw is measured again, by the product's own function
(`ranking_matched.csv`).

1. 96 patches instead of 32. Hypothesis: the wrong sanity cases on whole targets are noise of 32 patches. It was made from the
   third run's rows: with the mean MMD^2 over its three draws of 32, regret is 17.0 % on the judging targets (mean of one draw
   with three crops: 29.7 %) and 16.3 % on those chosen on (16.3 %), and the own source is first on all whole targets but
   fly_larva_l3_sstem_test, where fly_larva_l1_sstem is better. The mean of three draws is not one draw of 96. Rule: 96 becomes
   the default if, by one draw (the mean over seeds), regret is no higher than 29.7 % judging and no more than 2 points of per
   cent above 16.3 % chosen on, and no more whole targets and seeds are wrong than with 32 (6 of 18, 3 of them on
   fly_larva_l3_sstem_test).
2. The mirror image alone, without contrast: a third of consistency's time is saved, about what 64 more patches cost. It was
   looked at on the same rows (15.6 % and 16.3 % with the mean over draws) and on the second run's networks (the same regret, 4
   instead of 6 wrong). Rule: contrast is dropped if, with 96 patches and by one draw, regret is no more than 2 points of per cent
   above that with both transformations on either set of targets, and no more whole targets and seeds are wrong; both may be worse
   by chance, so that this is a choice of time, no finding.
3. Small volumes, where the patches of some sources do not fit. So far these count the median MMD of the others. Those are the
   sources of large pixels, no random ones, so that the median is biased. The alternative: MMD then takes no part for any source.
   Rule: the alternative, which is simpler, unless the median is right more often on the small parts where a source does not fit
   (whether the own source is first, all seeds; fly_larva_l3_sstem_test left out).

The targets are those that this was made from, so that the run can refute it, but not show how well it does elsewhere.

Fifth run (written before it, 2026-11-30): the overlap of boundaries, and MMD only where patches have room. The agreement after
CRank counts how sure a network is. How sure it is depends on its training, not on the target: fly_larva_l3_sstem is the surest
on every mouse volume, and wrong there. The alternative is the overlap alone: of the voxels that are boundary as they are or
mirrored, the share that is boundary in both (the Jaccard index). MMD counts once instead of twice, and takes part only where
four patches of every source have room side by side: where they overlap, they are alike, and MMD^2 is too large for all
(fly_medulla_fibsem_test, 50 x 100 x 200: 0.19 to its own domain, 0.02 on the whole).

It was made from rows that had been looked at, of today's networks and of the zoo before, with 96 and 32 patches. There, own
source first, of 18 whole and 18 small: today 14 and 15 (14 and 12 by the default), all but one of the wrong ones on
fly_larva_l3_sstem_test. Regret, judging: at threshold 0.5 53.8 % (29.7 %), at the best threshold 4.5 % (16.5 % with twice the
MMD). One case decides at 0.5, the cerebellum, where fly_larva_l1_sstem is cut too finely at 0.5 and second of all at its best
threshold.

The run measures the overlap by the product's own function (`ranking_overlap.csv`, `ranking_second_overlap.csv`). Rule: it becomes
the default if on both zoos' networks together, whole and small, the own source is first more often than by the default, and
regret at the best threshold, one draw, all cases, is no higher on either. What it does to regret at 0.5 is told in the page's
first lines. The next zoo judges it: networks that it was not made from.

A hypothesis for the next zoo (written 2026-11-30, after a look at the fifth run's rows): the overlap of all crops together, the sum
of the voxels that are boundary in both over the sum of those in either, is steadier than the mean over crops, in which one with
hardly any boundary counts as much as the others. By shares of boundary, which is nearly that, it is right once more on today's
networks (AC3) and as often on those before. Rule: it becomes the default if on the next zoo's networks the own source is first no
less often, and regret at either threshold, one draw, all cases, is no higher.

Sixth run (written before it, 2026-11-30): entries of the zoo that were trained longer judge that hypothesis, and the fifth run's
default beside the fourth's. Rows of the sources that did not change are kept, but what they make of the crops is measured anew, as
it lacks how many voxels are boundary in either. Three crops everywhere. Ways that the third and fourth run refused are no longer
computed: MMD^2 of 96 patches, two transformations, the median where patches do not fit. Their figures are in ranking.md as it was
on 2026-11-30, commit 570a535.
"""
