"""Tasks, and how the accuracy checker scores each: what of its configuration is written into a YAML to start from."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Task:
    """What is written into a YAML to start from.

    ``decoding`` are parameters of the adapter, ``annotation`` of the converter, ``dataset`` more keys of the dataset.
    ``tokens`` are read from annotations, by a tokenizer.
    """

    looks: str
    adapter: str
    converter: str
    annotation: tuple[str, ...]
    metric: str
    metric_name: str
    adapter_note: str = ""
    decoding: tuple[str, ...] = ()
    tokens: bool = False
    dataset: tuple[str, ...] = ()


CLASSIFICATION = Task(
    looks="It looks like a classifier: one output of shape (batch, classes).",
    adapter="classification",
    converter="imagenet",
    annotation=("annotation_file: annotation.txt   # TODO: a line for each sample: file name, label",),
    metric="{name: accuracy@top1, type: accuracy, top_k: 1}",
    metric_name="accuracy@top1",
)
TEXT = Task(
    looks="It looks like a text classifier: integer inputs, one output of shape (batch, classes).",
    adapter="bert_classification",
    decoding=("num_classes: {NUMBER}",),
    converter="sst-2",
    annotation=(
        "annotation_file: annotation.tsv   # TODO: a line for each sample: sentence, tab, label; the first is a header",
        "vocab_file: vocabulary.txt        # TODO: a token a line",
        "max_seq_length: {LENGTH}",
        "lower_case: false                 # TODO: true if the vocabulary has small letters only",
    ),
    metric="{name: accuracy, type: accuracy}",
    metric_name="accuracy",
    tokens=True,
)
TEXT_OF_ANY_LENGTH = replace(
    TEXT,
    looks="It looks like a text classifier: integer inputs of any length, one output of shape (batch, classes).",
    annotation=(*TEXT.annotation, "enable_padding: false             # sentences keep their length"),
)
RECOGNITION = Task(
    looks="It looks like a text recognizer: one output of shape (steps, batch, letters).",
    adapter="ctc_greedy_search_decoder",
    # The checker compares the blank's number with that of the step before it joins repeated letters.
    decoding=(
        "blank_label: 0                    # TODO: the blank's number; where it is not 0, type: beam_search_decoder",
        "vocabulary_file: vocabulary.txt   # TODO: a letter a line, the blank too",
    ),
    converter="common_text_recognition",
    annotation=("annotation_file: annotation.txt   # TODO: a line for each sample: file name, text",),
    metric="{name: character_recognition_accuracy, type: character_recognition_accuracy}",
    metric_name="character_recognition_accuracy",
)
# ctc_greedy_search_decoder would take the batch for the only step.
RECOGNITION_BATCH_FIRST = replace(
    RECOGNITION,
    looks="It looks like a text recognizer: one output of shape (batch, steps, letters).",
    adapter="ppocr",
    adapter_note="# the blank is 0; where it is not, type: beam_search_decoder with blank_label",
    decoding=("vocabulary_file: vocabulary.txt   # TODO: a letter a line, without the blank",),
)
DETECTION = Task(
    looks="It looks like a detector: {count} outputs.",
    adapter="ssd",
    adapter_note="# TODO: the adapter that fits these outputs: {outputs}",
    converter="common_object_detection",
    annotation=(
        "annotation_dir: boxes             # TODO: of each NAME.jpg a NAME.txt: number of the label and corners a line",
        "labels_file: labels.txt           # TODO: a label a line",
    ),
    metric="{name: mAP, type: map}",
    metric_name="mAP",
)
ROWS = replace(DETECTION, looks="It looks like a detector: one output of rows.")
SEGMENTATION = Task(
    looks="It looks like segmentation: one output of shape (batch, classes, height, width).",
    adapter="segmentation",
    converter="common_semantic_segmentation",
    annotation=(
        "images_dir: data                  # TODO",
        "masks_dir: masks                  # TODO: images whose values are classes",
        "dataset_meta_file: classes.json   # TODO: the names of the classes, by number",
    ),
    metric="{name: mean_iou, type: mean_iou, use_argmax: true}",
    metric_name="mean_iou",
    # Without it the checker looks for masks among the images, where it may find the images themselves.
    dataset=("segmentation_masks_source: masks   # TODO: as masks_dir",),
)
MASK = replace(
    SEGMENTATION,
    looks="It looks like segmentation of one class: one output of shape (batch, 1, height, width).",
    adapter="segmentation_one_class",
    decoding=("threshold: 0.5                    # TODO: from where on a pixel belongs to the class",),
    annotation=(
        *SEGMENTATION.annotation[:1],
        "masks_dir: masks                  # TODO: images of 0 and 1",
        "dataset_meta_file: classes.json   # TODO: the names of background and class, by number",
    ),
    metric="{name: mean_iou, type: mean_iou, use_argmax: false}",
)
IMAGE = Task(
    looks="It looks like an image to image model.",
    adapter="super_resolution",
    adapter_note="# or image_processing",
    converter="super_resolution",
    annotation=(
        "data_dir: data                    # TODO",
        "lr_suffix: lr                     # TODO: in names of what goes in",
        "hr_suffix: hr                     # TODO: in names of what should come out",
    ),
    metric="{name: psnr, type: psnr}",
    metric_name="psnr",
)
NUMBERS = Task(
    looks="Its task cannot be told from its shapes: outputs {outputs}.",
    adapter="regression",
    adapter_note="# TODO: the adapter that fits these outputs: {outputs}",
    converter="feature_regression",
    annotation=(
        "input_dir: data                   # TODO: what goes in",
        "reference_dir: references         # TODO: what should come out: numbers as text, one file for each sample",
        "input_suffix: .npy                # of what goes in",
        "reference_suffix: .txt            # of what should come out",
    ),
    metric="{name: mae, type: mae}",
    metric_name="mae",
    dataset=("additional_data_source: references   # TODO: as reference_dir", "reader: numpy_reader"),
)
NUMBERS_OF_SEVERAL = replace(
    NUMBERS,
    dataset=(
        NUMBERS.dataset[0],
        "reader: numpy_dict_reader   # a file for each sample: numpy.save(file, {input: array})",
    ),
)
NUMBERS_OF_IMAGES = replace(
    NUMBERS,
    annotation=(*NUMBERS.annotation[:2], "input_suffix: .png                # TODO", NUMBERS.annotation[3]),
    dataset=NUMBERS.dataset[:1],
)
