from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('environments', '0014_saved_view'),
    ]

    operations = [
        migrations.AddField(
            model_name='account',
            name='kept_identities',
            field=models.JSONField(blank=True, db_default=[], default=list, editable=False, verbose_name='employee IDs kept after an erasure'),
        ),
    ]
