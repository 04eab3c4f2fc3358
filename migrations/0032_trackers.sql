CREATE TABLE `experiment` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`user_id` integer,
	`tags` text DEFAULT '{}' NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`deleted_at` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `experiment_name_unique` ON `experiment` (`name`);--> statement-breakpoint
CREATE TABLE `logged_model` (
	`id` text PRIMARY KEY NOT NULL,
	`task_id` integer NOT NULL,
	`name` text NOT NULL,
	`status` text DEFAULT 'PENDING' NOT NULL,
	`record` text DEFAULT '{}' NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`deleted_at` text,
	CONSTRAINT "logged_model_status" CHECK("logged_model"."status" = 'PENDING' or "logged_model"."status" = 'READY' or "logged_model"."status" = 'UPLOAD_FAILED')
);
--> statement-breakpoint
CREATE INDEX `logged_model_task` ON `logged_model` (`task_id`);--> statement-breakpoint
CREATE TABLE `mirror` (
	`id` integer PRIMARY KEY NOT NULL,
	`user_id` integer NOT NULL,
	`name` text NOT NULL,
	`kind` text DEFAULT 'mlflow' NOT NULL,
	`url` text NOT NULL,
	`token` text,
	`groups` text,
	`active` integer DEFAULT true NOT NULL,
	`up_to` integer DEFAULT 0 NOT NULL,
	`next_at` text,
	`failures` integer DEFAULT 0 NOT NULL,
	`error` text,
	`version` integer DEFAULT 1 NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`deleted_at` text,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `mirror_user` ON `mirror` (`user_id`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `mirror_gone` ON `mirror` (`deleted_at`) WHERE deleted_at is not null;--> statement-breakpoint
CREATE TABLE `mirror_run` (
	`mirror_id` integer NOT NULL,
	`task_id` integer NOT NULL,
	`user_id` integer NOT NULL,
	`state` text DEFAULT 'open' NOT NULL,
	`experiment_id` text,
	`run_id` text,
	`attempt` integer DEFAULT 0 NOT NULL,
	`arrival` integer DEFAULT 0 NOT NULL,
	`points` integer DEFAULT 0 NOT NULL,
	`written` text,
	`tries` integer DEFAULT 0 NOT NULL,
	`status` integer,
	`error` text,
	`next_at` text,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`written_at` text,
	PRIMARY KEY(`mirror_id`, `task_id`),
	CONSTRAINT "mirror_run_state" CHECK("mirror_run"."state" = 'open' or "mirror_run"."state" = 'done' or "mirror_run"."state" = 'refused')
);
--> statement-breakpoint
CREATE INDEX `mirror_run_task` ON `mirror_run` (`task_id`);--> statement-breakpoint
CREATE INDEX `mirror_run_open` ON `mirror_run` (`mirror_id`,`next_at`) WHERE state = 'open';--> statement-breakpoint
CREATE TABLE `registry_record` (
	`model_id` integer NOT NULL,
	`number` integer NOT NULL,
	`record` text NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	PRIMARY KEY(`model_id`, `number`)
);
--> statement-breakpoint
CREATE TABLE `tracker_run` (
	`task_id` integer NOT NULL,
	`tracker` text NOT NULL,
	`user_id` integer NOT NULL,
	`project` text NOT NULL,
	`run` text NOT NULL,
	`alone` integer NOT NULL,
	`record` text DEFAULT '{}' NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	PRIMARY KEY(`task_id`, `tracker`),
	CONSTRAINT "tracker_run_tracker" CHECK("tracker_run"."tracker" = 'mlflow' or "tracker_run"."tracker" = 'trackio' or "tracker_run"."tracker" = 'swanlab')
);
--> statement-breakpoint
CREATE INDEX `tracker_run_name` ON `tracker_run` (`user_id`,`tracker`,`project`,`run`);--> statement-breakpoint
INSERT INTO `experiment` (`id`, `name`) VALUES (0, 'Default');--> statement-breakpoint
-- Groups that were there before have their rows too; a group of that name shares the one of runs without a group.
INSERT INTO `experiment` (`name`, `created_at`)
SELECT `experiment_group`, min(`created_at`) FROM `training_task`
WHERE `experiment_group` IS NOT NULL AND `experiment_group` <> 'Default' GROUP BY `experiment_group` ORDER BY min(`id`);--> statement-breakpoint
CREATE TRIGGER experiment_begun AFTER INSERT ON training_task
WHEN NEW.experiment_group IS NOT NULL
BEGIN
  INSERT INTO experiment (name) VALUES (NEW.experiment_group)
    ON CONFLICT (name) DO UPDATE SET deleted_at = NULL, updated_at = excluded.updated_at WHERE deleted_at IS NOT NULL;
END;--> statement-breakpoint
CREATE TRIGGER experiment_moved AFTER UPDATE OF experiment_group ON training_task
WHEN NEW.experiment_group IS NOT NULL AND NEW.experiment_group IS NOT OLD.experiment_group
BEGIN
  INSERT INTO experiment (name) VALUES (NEW.experiment_group)
    ON CONFLICT (name) DO UPDATE SET deleted_at = NULL, updated_at = excluded.updated_at WHERE deleted_at IS NOT NULL;
END;
