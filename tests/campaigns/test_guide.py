"""What docs/campaigns.md says of campaign.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import engage
from engage.campaigns.definition import KEYS
from engage.content.localised import make_renderer

GUIDE = (Path(__file__).parents[2] / "docs" / "campaigns.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)


def test_every_example_of_the_guide_is_a_campaign(workspace: engage.Workspace) -> None:
    workspace.create_label("Promotion")
    assert len(EXAMPLES) == 6
    for number, text in enumerate(EXAMPLES):
        made = workspace.create_campaign(f"example_{number}", tomllib.loads(text)).definition
        for variant in made.variants:
            make_renderer(made.channel, variant.content)


def test_the_guide_leaves_out_no_key_but_those_that_launching_writes() -> None:
    said = set(re.findall(r"[a-z_]+", GUIDE))
    assert sorted(set(KEYS) - said) == ["delivery_type", "launched_at", "status"]


def test_the_reasons_it_names_are_those_of_the_plan() -> None:
    folder = Path(engage.__file__).parent / "campaigns"
    statement = "".join((folder / name).read_text(encoding="utf-8") for name in ("statement.py", "send_times.py"))
    listed = re.search(r"left out for a\nreason: (.*?), and so on", GUIDE, re.DOTALL)
    assert listed is not None
    for reason in re.findall(r"`([a-z_]+)", listed[1]):
        assert f"'{reason}'" in statement or f'"{reason}"' in statement or reason == "cap", reason
