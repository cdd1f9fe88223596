"""Scores of a model: accuracy by OpenVINO's accuracy checker, latency by measuring in turns, and what it ran on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.scoring.accuracy import AccuracyResult, AccuracySession, Watch
    from quantize_zoo.scoring.answers import Answers, answers_name, read_answers, read_contents, write_answers
    from quantize_zoo.scoring.checker import Checker, find_checker, find_overlay, install_overlay
    from quantize_zoo.scoring.checker_config import (
        checker_entry,
        entry_notes,
        fed_with_answers,
        place_in_entry,
        place_in_yaml,
        place_of_model,
        require_metric,
        with_prefixes,
    )
    from quantize_zoo.scoring.checker_dataset import open_dataset
    from quantize_zoo.scoring.checker_entries import (
        definitions_path,
        kind_of_entries,
        read_definitions,
        resolve_paths,
        take_entry,
    )
    from quantize_zoo.scoring.checker_faults import faults_of
    from quantize_zoo.scoring.checker_levels import Where
    from quantize_zoo.scoring.checker_parts import Fault
    from quantize_zoo.scoring.compilation import (
        Execution,
        accuracy_properties,
        compile_again,
        compile_for_accuracy,
        compile_for_latency,
        compile_from,
        describe_execution,
        latency_properties,
        request_with,
        serves_latency,
    )
    from quantize_zoo.scoring.contents import Contents
    from quantize_zoo.scoring.custom_session import evaluator_problem
    from quantize_zoo.scoring.devices import (
        available_devices,
        available_instruction_sets,
        hardware_target,
        integer_weights_problem,
        is_available,
        require_device,
    )
    from quantize_zoo.scoring.environment import Environment, describe_environment
    from quantize_zoo.scoring.environments import emulation_note, is_emulated, playable_environments, precision_note
    from quantize_zoo.scoring.estimate import inverse, location_estimate, mean_estimate, paired_loss
    from quantize_zoo.scoring.executed import (
        Conversion,
        Executed,
        ExecutedCompression,
        ExecutedOperation,
        executed_operations,
        read_executed,
        runtime_names,
    )
    from quantize_zoo.scoring.far_process import FarProcess, HostedProcess, far_start
    from quantize_zoo.scoring.figure import Estimate
    from quantize_zoo.scoring.images import make_noise, read_images, require_pictures
    from quantize_zoo.scoring.inputs import InputBudget
    from quantize_zoo.scoring.kinds import MachineKind, describe_kind
    from quantize_zoo.scoring.latency import (
        PairedLatency,
        SharedReference,
        measure_finally,
        measure_in_process,
        measure_in_turns,
        summarize_compilations,
    )
    from quantize_zoo.scoring.plugin_properties import require_properties
    from quantize_zoo.scoring.preprocessing import input_shapes, shape_text
    from quantize_zoo.scoring.profiling import CLOCK_US, LayerTime, Times, owner_of, profile_layers, times_in_turns
    from quantize_zoo.scoring.releases import Interpreters, Release, this_release
    from quantize_zoo.scoring.replicates import Replicates, replicated_difference, replicated_loss
    from quantize_zoo.scoring.resolvable import counts_answers, resolution_note
    from quantize_zoo.scoring.rounds import measure_rounds, profile_in_turns, profile_rounds
    from quantize_zoo.scoring.runtimes import (
        ANSWER_SECONDS,
        ModelProcess,
        RuntimeProcess,
        Side,
        Start,
        start_runtime,
        started,
    )
    from quantize_zoo.scoring.session import open_session
    from quantize_zoo.scoring.split import Split, split_samples, split_sequences
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "ANSWER_SECONDS",
    "CLOCK_US",
    "AccuracyResult",
    "AccuracySession",
    "Answers",
    "Checker",
    "Contents",
    "Conversion",
    "Environment",
    "Estimate",
    "Executed",
    "ExecutedCompression",
    "ExecutedOperation",
    "Execution",
    "FarProcess",
    "Fault",
    "HostedProcess",
    "InputBudget",
    "Interpreters",
    "LayerTime",
    "MachineKind",
    "ModelProcess",
    "PairedLatency",
    "Release",
    "Replicates",
    "RuntimeProcess",
    "SharedReference",
    "Side",
    "Split",
    "Start",
    "Times",
    "Watch",
    "Where",
    "accuracy_properties",
    "answers_name",
    "available_devices",
    "available_instruction_sets",
    "checker_entry",
    "compile_again",
    "compile_for_accuracy",
    "compile_for_latency",
    "compile_from",
    "counts_answers",
    "definitions_path",
    "describe_environment",
    "describe_execution",
    "describe_kind",
    "emulation_note",
    "entry_notes",
    "evaluator_problem",
    "executed_operations",
    "far_start",
    "faults_of",
    "fed_with_answers",
    "find_checker",
    "find_overlay",
    "hardware_target",
    "input_shapes",
    "install_overlay",
    "integer_weights_problem",
    "inverse",
    "is_available",
    "is_emulated",
    "kind_of_entries",
    "latency_properties",
    "location_estimate",
    "make_noise",
    "mean_estimate",
    "measure_finally",
    "measure_in_process",
    "measure_in_turns",
    "measure_rounds",
    "open_dataset",
    "open_session",
    "owner_of",
    "paired_loss",
    "place_in_entry",
    "place_in_yaml",
    "place_of_model",
    "playable_environments",
    "precision_note",
    "profile_in_turns",
    "profile_layers",
    "profile_rounds",
    "read_answers",
    "read_contents",
    "read_definitions",
    "read_executed",
    "read_images",
    "replicated_difference",
    "replicated_loss",
    "request_with",
    "require_device",
    "require_metric",
    "require_pictures",
    "require_properties",
    "resolution_note",
    "resolve_paths",
    "runtime_names",
    "serves_latency",
    "shape_text",
    "split_samples",
    "split_sequences",
    "start_runtime",
    "started",
    "summarize_compilations",
    "take_entry",
    "this_release",
    "times_in_turns",
    "with_prefixes",
    "write_answers",
]
