"""What a filter reaches and needs."""

from __future__ import annotations

import pytest
from test_nwfilter_canonical import STOCK

from reconciler.model.filter import Rule
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.stock import STOCK_FILTERS, stock_closure, stock_variables
from reconciler.nwfilter.variables import (
    Lookup,
    ReferenceLoop,
    Variable,
    closure,
    filter_variables,
    find_loop,
    required_variables,
    rule_variables,
)


def lookup(**bodies: str) -> Lookup:
    return {name: parse_filter(f"<filter name='{name}'>{body}</filter>") for name, body in bodies.items()}.get


def uses(*values: str) -> str:
    return "".join(f"<rule action='drop' direction='out'><ip srcipaddr='{value}'/></rule>" for value in values)


def refers(name: str, **parameters: str) -> str:
    values = "".join(
        f"<parameter name='{key}' value='{value}'/>" for key, values in parameters.items() for value in values.split()
    )
    return f"<filterref filter='{name}'>{values}</filterref>"


def test_subscripts_are_read() -> None:
    filter = parse_filter(f"<filter name='a'>{uses('$A', '$A[@0]', '$A[@2]', '$B[1]', '10.0.0.1')}</filter>")
    found = [rule_variables(entry) for entry in filter.entries if isinstance(entry, Rule)]
    assert found == [
        (Variable("A"),),
        (Variable("A"),),
        (Variable("A", iterator=2),),
        (Variable("B", element=1),),
        (),
    ]
    assert filter_variables(filter) == {"A", "B"}


def test_closure_goes_depth_first_and_names_each_once() -> None:
    filters = lookup(a=refers("b") + refers("c"), b=refers("d"), c=refers("d") + refers("gone"), d="")
    assert closure(filters, "a") == ("a", "b", "d", "c", "gone")
    assert closure(filters, "gone") == ("gone",)


def test_a_parameter_satisfies_the_tree_below_its_reference_only() -> None:
    filters = lookup(a=refers("b", IP="10.0.0.1") + refers("c"), b=refers("leaf"), c=uses("$IPV6"), leaf=uses("$IP"))
    assert required_variables(filters, "a") == {"IPV6"}
    assert required_variables(filters, "b") == {"IP"}


def test_the_same_filter_below_another_reference_still_needs_its_variable() -> None:
    filters = lookup(a=refers("b", IP="10.0.0.1") + refers("b"), b=uses("$IP"))
    assert required_variables(filters, "a") == {"IP"}


def test_an_element_that_a_list_does_not_have_is_missing() -> None:
    filters = lookup(a=refers("b", A="1 2"), b=uses("$A[1]"), c=refers("d", A="1 2"), d=uses("$A[2]"))
    assert required_variables(filters, "a") == frozenset()
    assert required_variables(filters, "c") == {"A"}


def test_mac_is_libvirts_own() -> None:
    assert required_variables(lookup(a=uses("$MAC", "$IP")), "a") == {"IP"}


def test_loops_are_found() -> None:
    filters = lookup(a=refers("b"), b=refers("c") + refers("d"), c="", d=refers("b"))
    assert find_loop(filters, "a") == ("b", "d", "b")
    assert find_loop(filters, "c") is None
    assert closure(filters, "a") == ("a", "b", "c", "d")
    with pytest.raises(ReferenceLoop, match="b → d → b"):
        required_variables(filters, "a")


def test_the_stock_table_agrees_with_the_filters_of_this_machine() -> None:
    if not STOCK:
        pytest.skip("libvirt's filters are not installed here")
    filters = {path.stem: parse_filter(path.read_bytes()) for path in STOCK}
    for name, filter in filters.items():
        if name not in STOCK_FILTERS:
            continue
        assert STOCK_FILTERS[name].references == filter.references, name
        assert STOCK_FILTERS[name].variables == filter_variables(filter), name
        assert stock_closure(name) == closure(filters.get, name)
        assert stock_variables(name) == required_variables(filters.get, name)


def test_stock_facts_without_a_host() -> None:
    assert stock_variables("clean-traffic") == {"IP"}
    assert stock_closure("no-arp-spoofing") == ("no-arp-spoofing", "no-arp-mac-spoofing", "no-arp-ip-spoofing")
    assert stock_closure("mine") == ("mine",)
