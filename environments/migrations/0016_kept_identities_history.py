from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('environments', '0015_kept_identities'),
    ]

    operations = [
        migrations.AddField(
            model_name='historicalaccount',
            name='kept_identities',
            field=models.JSONField(blank=True, db_default=[], default=list, editable=False, verbose_name='employee IDs kept after an erasure'),
        ),
    ]
