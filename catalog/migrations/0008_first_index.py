"""The home page's row, and a first generation of the search index: the release that searches it finds it full."""

import django.db.models.functions.datetime
from django.db import migrations, models

SIZE = 1_000  # products of one statement, which may take ten seconds
FIRST = r"""
INSERT INTO catalog_searchentry (generation, product_id, document, words, bought)
SELECT 1, id, setweight(to_tsvector('english', name || words) || to_tsvector('simple', name || ' ' || also_called
    || words), 'A') || setweight(to_tsvector('english', description), 'B'), words, greatest(taken, 0)
FROM (SELECT id, name, also_called, description, taken, ' ' || btrim(lower(regexp_replace(regexp_replace(
    normalize(name || ' ' || also_called, NFD), '[\u0300-\u036f]+', '', 'g'), '[[:space:][:punct:]]+', ' ', 'g')))
    AS words FROM catalog_product WHERE id = ANY(%s)) product
ON CONFLICT DO NOTHING
"""


def fill(apps, schema_editor):
    apps.get_model("catalog", "SearchIndex").objects.get_or_create(pk=1)
    ids = list(apps.get_model("catalog", "Product").objects.order_by("pk").values_list("pk", flat=True))
    with schema_editor.connection.cursor() as cursor:
        for at in range(0, len(ids), SIZE):
            cursor.execute(FIRST, [ids[at : at + SIZE]])


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0007_files_and_strangers'),
    ]

    operations = [
        migrations.CreateModel(
            name='HomePage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('shelves', models.JSONField(default=list)),
                ('picks', models.JSONField(default=list)),
                ('warmed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='catalog_homepage_single')],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
