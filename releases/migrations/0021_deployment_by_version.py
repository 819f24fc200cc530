from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Collate


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('releases', '0020_emptied_inbox_item'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='deployment',
            index=models.Index(Collate(KeyTextTransform('version', KeyTransform('wanted', 'previous')), 'C'), name='deployment_by_version'),
        ),
    ]
