from data_pipelines.prepared.view_table import view_table


def test_a_line_for_each_split_of_each_view():
    of_train = {
        "examples": 1234,
        "longest": {"context": 20, "negatives": 9},
        "empty": {"context": 3},
    }
    of_test = {"examples": 5, "longest": {"context": 7}, "empty": {"context": 0}}
    views = {
        "transfer": {"splits": {"train": of_train, "test": of_test}},
        "next_item": {"splits": {"train": of_test}},
    }
    lines = view_table(views)
    assert len({len(line) for line in lines}) == 1
    assert [line.split() for line in lines] == [
        ["view", "split", "examples", "longest", "history", "empty"],
        ["transfer", "train", "1,234", "20", "3"],
        ["transfer", "test", "5", "7", "0"],
        ["next_item", "train", "5", "7", "0"],
    ]
