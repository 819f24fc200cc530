from django.db import migrations, models

FORGES = [("github", "GitHub"), ("gitlab", "GitLab")]
FIELDS = {
    "forge": models.CharField(blank=True, choices=FORGES, max_length=10, verbose_name="forge"),
    "forge_url": models.CharField(blank=True, max_length=400, verbose_name="address of the interface"),
    "forge_project": models.CharField(blank=True, max_length=200, verbose_name="project"),
    "ticket_formats": models.CharField(blank=True, max_length=200, verbose_name="formats of tickets"),
}


class Migration(migrations.Migration):
    dependencies = [("environments", "0006_retired")]

    operations = [
        *(
            migrations.AddField(model_name=model, name=name, field=field.clone())
            for model in ("application", "historicalapplication")
            for name, field in FIELDS.items()
        ),
        migrations.AddConstraint(
            model_name="application",
            constraint=models.CheckConstraint(
                condition=models.Q(("forge__in", ["github", "gitlab", ""])), name="application_forge_choice"
            ),
        ),
    ]
