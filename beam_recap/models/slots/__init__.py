"""An engine for one job: long prompts with a picture, short answers, many of them.

`decoder` runs the language model on pools of keys and values of fixed size, `engine` fills and refills the slots of
these pools, `scheduler` merges callers into the same slots and keeps one row's failure from the others.
"""
