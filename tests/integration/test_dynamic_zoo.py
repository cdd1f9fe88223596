"""The embedded models of any height, width and length: each sample is fed in its own shape, as the checker does."""

import csv

import cv2
import numpy as np
import pytest
from test_accuracy import F32

from evaluators import evaluate
from quantize_zoo.config import load_model_config
from quantize_zoo.graph import read_model
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker


@pytest.fixture
def lines(zoo):
    """Inputs of the recognizer and the texts that they show."""
    folder = zoo / "embedded" / "data" / "lines"
    rows = [line.split(",", 1) for line in (folder / "lines.txt").read_text().splitlines()]
    pictures = [cv2.cvtColor(cv2.imread(str(folder / "images" / name)), cv2.COLOR_BGR2GRAY) for name, _ in rows]
    return [((picture.astype(np.float32) - 127.5) / 63.75)[None, None] for picture in pictures], [
        text for _, text in rows
    ]


@pytest.fixture
def opinions(zoo):
    """Inputs of the encoder and their labels."""
    data = zoo / "embedded" / "data"
    vocabulary = (data / "reviews" / "vocabulary.txt").read_text().splitlines()
    with (data / "opinions" / "opinions.tsv").open() as stream:
        rows = list(csv.reader(stream, delimiter="\t"))[1:]
    words = [["[CLS]", *sentence.split(), "[SEP]"] for sentence, _ in rows]
    return [np.array([[vocabulary.index(word) for word in each]]) for each in words], [int(label) for _, label in rows]


def session_values(config):
    model = read_model(config.model)
    return AccuracySession(find_checker(), config, model).score(compile_for_accuracy(model, F32)).metrics


def read_letters(scores, alphabet):
    """The letters of the best path (steps, 1, letters): repeated ones once, without the blank, which is 0."""
    best = scores[:, 0].argmax(1)
    return "".join(alphabet[now - 1] for before, now in zip([0, *best], best, strict=False) if now not in (0, before))


def test_every_line_is_recognized_in_its_own_size(zoo, lines):
    config = load_model_config(zoo / "embedded" / "lines-crnn.yml")
    pictures, texts = lines
    assert len({picture.shape for picture in pictures}) > 300
    alphabet = (zoo / "embedded" / "data" / "lines" / "alphabet.txt").read_text().strip("\n")
    compiled = compile_for_accuracy(read_model(config.model), F32)
    hits = [read_letters(compiled(picture)[0], alphabet) == text for picture, text in zip(pictures, texts, strict=True)]
    values, launcher = evaluate(config)
    assert launcher.is_dynamic
    assert values["character_recognition_accuracy"] == np.mean(hits)
    assert session_values(config) == pytest.approx(values, abs=1e-12)
    assert 0.9 <= np.mean(hits) < 0.99


def test_every_opinion_is_classified_as_long_as_it_is(zoo, opinions):
    config = load_model_config(zoo / "embedded" / "opinions-encoder.yml")
    tokens, labels = opinions
    lengths = [each.shape[1] for each in tokens]
    assert (min(lengths), max(lengths)) == (7, 107)
    compiled = compile_for_accuracy(read_model(config.model), F32)
    hits = [compiled(each)[0].argmax() == label for each, label in zip(tokens, labels, strict=True)]
    values, launcher = evaluate(config)
    assert launcher.is_dynamic
    assert values["accuracy"] == np.mean(hits)
    assert session_values(config) == pytest.approx(values, abs=1e-12)
    assert 0.85 < np.mean(hits) < 0.97
