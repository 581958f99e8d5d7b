"""Knowing the price before paying: what a whole job takes, from a sample of its rows.

What is measured (`measurement`) knows no machine and no price, and the other way round: `estimate` brings them
together. Nothing here runs a pipeline.
"""
