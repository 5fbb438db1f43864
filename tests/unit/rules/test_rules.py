"""Rules that come from elsewhere, and the cards of all."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import torch

import rules
from biosim.errors import BiosimError
from rules import RULES, ForwardForward, Frozen, Rule, SoftHebb, Stack, rule_of
from rules.card import facts

STACK = Stack(3, (4,), 2, 8, torch.zeros(3))


def installed(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    found = [EntryPoint(name, value, "biosim.rules")]
    monkeypatch.setattr(rules, "entry_points", lambda group: found)
    monkeypatch.setattr(rules, "RULES", dict(RULES))


def test_an_installed_package_adds_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "mine", "rules.frozen:Frozen")
    rules._add_installed()
    assert rules.RULES["mine"] is Frozen


def test_an_installed_rule_does_not_replace_one_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(monkeypatch, "noprop", "rules.frozen:Frozen")
    with pytest.raises(BiosimError, match="adds a rule 'noprop', a name that is taken"):
        rules._add_installed()


def test_an_installed_rule_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "mine", "nowhere:Mine")
    with pytest.raises(BiosimError, match="rule 'mine' of nowhere:Mine: No module named"):
        rules._add_installed()


@pytest.mark.parametrize("given", [3, {}, {"name": "hebb"}, {"name": [1]}])
def test_a_table_that_names_no_rule_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="no rule"):
        rule_of(given)


@pytest.mark.parametrize("name", list(RULES))
def test_a_card_is_read_off_the_network(name: str) -> None:
    rule = RULES[name].model_validate({"name": name})
    network = rule.wire(STACK)
    card = facts(rule, network)
    assert card["name"] == name
    assert card["reads"]
    assert set(card["pathways"]) == {pathway.name for pathway in network.pathways}
    assert (card["weight_transport"] == "yes") == bool(network.tied())


def test_what_a_readout_reads_is_told_apart_from_what_the_rule_reads() -> None:
    def reads(rule: Rule) -> list[str]:
        return facts(rule, rule.wire(STACK))["reads"]  # type: ignore[no-any-return]

    hebb = reads(SoftHebb())
    assert "post.apical (read-out)" in hebb
    assert "post.apical" not in hebb
    assert not any("read-out" in line for line in reads(ForwardForward(with_readout=False)))


def test_an_answer_by_a_readout_is_called_supervised() -> None:
    assert SoftHebb().supervised_readout
    assert not ForwardForward().supervised_readout
    assert ForwardForward(predict="softmax").supervised_readout


def test_hard_negatives_bring_scores_back_by_a_pathway_of_their_own() -> None:
    assert "scores" in {p.name for p in ForwardForward(negatives="hard").wire(STACK).pathways}
