"""How a run is spread over devices and processes, through `tf.distribute`.

`strategies.start` gives the `Distribution` of a strategy's name; training and evaluation ask it
which rows of a batch to read, how to make a step, and whether to write files.
"""
