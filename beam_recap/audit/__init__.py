"""How text-biased a dataset is: visible text in its pictures, how much of it captions repeat, and CLIP's eye for it.

Definitions and the figures to compare with: Parrot Captions Teach CLIP to Spot Text (arXiv 2312.14232).
"""
