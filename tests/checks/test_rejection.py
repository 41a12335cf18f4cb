"""A rejection says what was found and where."""

from morphir.checks.rejection import Rejection


def test_a_rejection_has_a_place():
    rejection = Rejection("CERT-5: the inputs differ", "forward")
    assert (rejection.summary, rejection.where) == ("CERT-5: the inputs differ", "forward")
    assert Rejection("nothing").where == ""
