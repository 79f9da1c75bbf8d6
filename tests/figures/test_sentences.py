"""Sentences as a picture."""

import pytest

from gmnm_lib.errors import InputError
from gmnm_lib.figures import INK, to_image
from gmnm_lib.figures.sentences import sentence_list


def test_every_sentence_and_label_is_on_the_picture_and_one_stands_out():
    figure = sentence_list(["a $5 note", "the end"], labels=["0.0", "0.5"], marked=1)
    assert [text.get_text() for text in figure.texts] == ["0.0", r"a \$5 note", "0.5", "the end"]
    assert figure.texts[1].get_color() == INK != figure.texts[3].get_color()
    assert figure.alt == "a $5 note; the end"
    assert to_image(figure).height < to_image(sentence_list(["x"] * 5)).height


@pytest.mark.parametrize("sentences, labels", [([], None), (["a"], ["b", "c"])])
def test_no_sentences_or_labels_for_others_are_refused(sentences, labels):
    with pytest.raises(InputError, match="a label for each"):
        sentence_list(sentences, labels=labels)
