"""The state machines, one screen each. Transitions have no bodies; operations check the conditions."""
