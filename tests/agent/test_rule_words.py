"""No table of a rule diagnoses or speaks as the authorities do; each kind has one module (health-alert wording)."""

import re
from itertools import pairwise

from agent.rules.registry import RULES
from agent.rules.tables import PULSE_WORDS, STAGE_NAMES

DIAGNOSIS = re.compile(
    r"心房細動|不整脈|診断|頻脈|徐脈|心臓発作|心筋梗塞|疾患|病気|異常"
    r"|\bAF\b|\bAFib\b|atrial|fibrillation|arrhythmia|tachycardia|bradycardia|diagnos|heart attack|disease|abnormal",
    re.IGNORECASE,
)
OFFICIAL = re.compile(r"警報|注意報|避難指示|warning|evacuate\b|advisory", re.IGNORECASE)


def told() -> list[str]:
    stages = [text for names in STAGE_NAMES for s in names.stages for text in (s.ja, s.en, s.reached_ja, s.reached_en)]
    return stages + [text for words in PULSE_WORDS for text in (words.ja, words.en)]


def test_no_name_in_any_table_is_a_diagnosis() -> None:
    assert [text for text in told() if DIAGNOSIS.search(text)] == []


def test_no_name_in_any_table_claims_to_be_an_official_warning() -> None:
    assert [text for text in told() if OFFICIAL.search(text)] == []


def test_river_texts_say_that_a_level_was_reached_under_the_names_of_the_scheme() -> None:
    stages = [(stage.level, stage.ja) for stage in STAGE_NAMES[-1].stages]
    assert stages == [
        (1, "水防団待機水位"),
        (2, "氾濫注意水位"),
        (3, "避難判断水位"),
        (4, "氾濫危険水位"),
        (5, "氾濫発生"),
    ]
    for stage in STAGE_NAMES[-1].stages:
        assert stage.reached_ja.endswith("水位に到達")
        assert stage.reached_ja.startswith(stage.ja)
        assert stage.reached_en.endswith("level reached")


def test_the_rows_of_each_table_follow_each_other_without_overlap() -> None:
    for rows in (STAGE_NAMES, PULSE_WORDS):
        for earlier, later in pairwise(rows):
            assert earlier.valid_to is not None
            assert earlier.valid_to < later.valid_from


def test_each_kind_is_written_as_its_module_and_its_model_name_it() -> None:
    for kind, module in RULES.items():
        assert module.__name__ == f"agent.rules.{kind}"
        assert module.Config.model_fields["kind"].default == kind
