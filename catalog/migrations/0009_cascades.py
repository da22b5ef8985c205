"""A product's deletion takes along, or lets go, the rows that hang on it, in the database: an older release, which does
not know these tables, deletes products, too. Checkouts wait for a moment only, as each table is a transaction of its
own, and its rows are checked in another."""

import django.db.models.deletion
from django.db import migrations, models

ROWS = {
    "supplieritem": ("5df66ab1", "CASCADE"),
    "lowstock": ("e2142db3", "CASCADE"),
    "media": ("2316fa05", "CASCADE"),
    "searchentry": ("f1dc48cb", "CASCADE"),
    "importrow": ("44775639", "SET NULL"),
}
ADD = """
ALTER TABLE catalog_{table} DROP CONSTRAINT IF EXISTS catalog_{table}_product_id_{hash}_fk_catalog_product_id,
ADD CONSTRAINT catalog_{table}_product_id_{hash}_fk_catalog_product_id FOREIGN KEY (product_id)
REFERENCES catalog_product ON DELETE {then} DEFERRABLE INITIALLY DEFERRED NOT VALID
"""
CHECK = "ALTER TABLE catalog_{table} VALIDATE CONSTRAINT catalog_{table}_product_id_{hash}_fk_catalog_product_id"


class Migration(migrations.Migration):

    atomic = False
    dependencies = [
        ('catalog', '0008_first_index'),
    ]

    operations = [
        *(
            migrations.RunSQL(sql.format(table=table, hash=hash, then=then), migrations.RunSQL.noop)
            for table, (hash, then) in ROWS.items()
            for sql in (ADD, CHECK)
        ),
        migrations.AlterField(
            model_name='searchentry',
            name='product',
            field=models.ForeignKey(on_delete=django.db.models.deletion.DO_NOTHING, related_name='search_entries', to='catalog.product'),
        ),
    ]
