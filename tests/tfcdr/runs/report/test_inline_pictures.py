"""Pictures lie in the page as vectors, whatever their texts, and do not disturb each other."""

import re

import matplotlib.figure
import numpy as np

from tfcdr.runs.report.inline_pictures import InlinePictures


def cloud(points):
    figure = matplotlib.figure.Figure((2, 1))
    figure.subplots().scatter(np.arange(points), np.arange(points), label="<script>")
    figure.axes[0].set_title("<script>")
    return figure


def test_pictures_are_vectors_with_texts_and_share_no_id():
    pictures = InlinePictures()
    drawn = [pictures.draw(cloud(3), "<b>") for _ in range(2)]
    for text in drawn:
        assert text.startswith("<svg") and "viewBox" in text and "<image" not in text
        assert 'aria-label="&lt;b&gt;"' in text
        assert "&lt;script&gt;" in text and "<script" not in text
        assert not re.search(r'^<svg[^>]* (width|height)="', text)
    ids = [re.findall(r' id="([^"]+)"', text) for text in drawn]
    assert set(ids[0]).isdisjoint(ids[1])
    for text, own in zip(drawn, ids, strict=True):
        assert set(re.findall(r'(?:href="|url\(|)#(p\d+-[\w-]+)', text)) <= set(own)


def test_a_large_cloud_is_drawn_in_pixels():
    small, large = (len(InlinePictures().draw(cloud(points), "")) for points in (500, 5000))
    assert large < 2 * small


def test_a_picture_is_the_same_again():
    assert InlinePictures().draw(cloud(3), "") == InlinePictures().draw(cloud(3), "")
