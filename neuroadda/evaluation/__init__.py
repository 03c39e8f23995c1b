"""How good is a segmentation: contingency tables, VOI and Rand, expected run length."""
