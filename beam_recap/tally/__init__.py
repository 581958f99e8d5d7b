"""What the report counts over all rows, in parts that can be added up in any order.

* `heavy_hitters`: counts of the most frequent of any number of things, in bounded memory.
* `distributions`: histograms of scores and lengths.
* `captions`: what of a caption is counted.
* `row_tally`: all of it for some rows, with the rows that the report shows.
"""
