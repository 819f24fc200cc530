def test_cast(people, acting_as):
    from environments.access import may
    assert may(people["manager"], "plan")
