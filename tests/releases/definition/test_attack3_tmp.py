from tests.releases.definition.test_definition import *
from releases.procedures.process import Process
from releases.operations.deployment_process import create as process_create, put_into_effect as effect

def test_f5(world):
    with world.acting_as("manager"):
        create_application(slug="shop", name="Shop", repository="https://git.example/shop.git")
        load({"applications/shop.toml": SHOP}, reason="without the process")
    evil = PROCESS.replace("estimate_seconds = 5", "estimate_seconds = 7", 1)
    with world.acting_as("author_on_committee"):
        load({"applications/shop.toml": SHOP, "processes/shop.toml": evil}, reason="with it")
    text = evil + "\n# a comment\n"
    with world.acting_as("manager"):
        load({"applications/shop.toml": SHOP, "processes/shop.toml": text}, reason="comment")
        app = Application.objects.get(slug="shop")
        ok = Process.from_toml(PROCESS, Procedure.objects.of(app).document, set(), **procedure_types())
        made = process_create.create(application_id=app.pk, content=ok, reason="x")
        asked = effect.submit(made.pk, reason="x")
    for who in ("committee_a", "committee_b"):
        with world.acting_as(who):
            asked = type(asked).objects.get(pk=asked.pk)
            if asked.state == "in_review":
                approve(asked.pk, digest=asked.digest)
    assert DeploymentProcess.objects.filter(state="in_effect", application=app).exists()
    with world.acting_as("manager"):
        for event in ("deployment_process:create", "deployment_process:submit"):
            (act,) = (a for a in acts({"processes/shop.toml": text}) if a.event == event)
            asked = act.run("as the folder says")
    print(asked.process.writers, asked.process.content)
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted):
        approve(asked.pk, digest=asked.digest)
