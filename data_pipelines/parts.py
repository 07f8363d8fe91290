"""What an interaction is where its domain is the target."""

TRAIN, VALIDATION, TEST = range(3)  # positions in `logs.PARTS`
# Read where the domain is a source, but nobody's label where it is the target: a user's later
# interactions with an item, and all of a user with too few to hold some out.
REPEATED, TOO_FEW = 3, 4
NUM_PARTS = 5
