"""A port that can't be used gives an error with the name of its variable."""

import socket

import pytest

from stack import ports


@pytest.fixture
def taken():
    with socket.create_server((ports.HOST, 0)) as server:
        yield server.getsockname()[1]


def test_ports_are_the_documented_ones_unless_the_environment_names_others():
    assert ports.chosen({}) == ports.DEFAULTS
    assert ports.chosen({"WEB_PORT": "8001"}) == ports.DEFAULTS | {"WEB_PORT": 8001}


def test_an_empty_variable_means_the_default():
    assert ports.chosen({"WEB_PORT": ""})["WEB_PORT"] == 8000


@pytest.mark.parametrize("junk", ["eighty", "0", "65536", "-1", "80.0", " ", "٨٠٠٠", "8000 "])
def test_junk_in_a_port_is_refused_with_the_name_of_its_variable(junk):
    with pytest.raises(ports.PortError, match=r"FLOWER_PORT is .*: set it to a port number from 1 to 65535"):
        ports.chosen({"FLOWER_PORT": junk})


def test_one_port_for_two_variables_is_refused():
    with pytest.raises(ports.PortError, match="WEB_PORT and FLOWER_PORT are both 9000"):
        ports.chosen({"WEB_PORT": "9000", "FLOWER_PORT": "9000"})


def test_a_taken_port_names_its_variable_and_a_free_port_instead(taken):
    with pytest.raises(ports.PortError) as caught:
        ports.check_free({"WEB_PORT": taken})
    line = str(caught.value)
    assert line.startswith(f"WEB_PORT {taken} is taken: set WEB_PORT to a free one, e.g. WEB_PORT=")
    assert line.endswith(" make demo")
    suggested = int(line.split("e.g. WEB_PORT=")[1].split()[0])
    ports.check_free({"WEB_PORT": suggested})


def test_the_suggested_port_is_none_of_our_other_ports(taken):
    with pytest.raises(ports.PortError) as caught:
        ports.check_free({"WEB_PORT": taken, "FLOWER_PORT": taken + 1})
    assert f"WEB_PORT={taken + 1} " not in str(caught.value)


def test_free_ports_all_differ():
    assert ports.free().keys() == ports.DEFAULTS.keys()
    found = ports.free(map(str, range(1000)))
    assert len(set(found.values())) == len(found)


def test_a_port_is_not_chosen_again_before_its_server_can_have_started():
    assert set(ports.free().values()).isdisjoint(ports.free().values())
