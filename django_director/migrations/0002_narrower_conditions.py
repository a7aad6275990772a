import django_director.db.indexes
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('django_director', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='task',
            name='director_task_due',
        ),
        migrations.RemoveIndex(
            model_name='task',
            name='director_task_lease',
        ),
        migrations.RemoveIndex(
            model_name='task',
            name='director_task_timer',
        ),
        migrations.RemoveIndex(
            model_name='task',
            name='director_task_deadline',
        ),
        migrations.AddIndex(
            model_name='task',
            index=django_director.db.indexes.PartialIndex(condition=models.Q(('next_dispatch_at__isnull', False), ('status', 'queued')), fields=['next_dispatch_at'], name='director_task_due'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=django_director.db.indexes.PartialIndex(condition=models.Q(('lease_until__isnull', False), ('status', 'running')), fields=['lease_until'], name='director_task_lease'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=django_director.db.indexes.PartialIndex(condition=models.Q(('not_before__isnull', False), ('status', 'waiting')), fields=['not_before'], name='director_task_timer'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=django_director.db.indexes.PartialIndex(condition=models.Q(('deadline_at__isnull', False), ('status', 'waiting')), fields=['deadline_at'], name='director_task_deadline'),
        ),
    ]
