CREATE TABLE `box` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`user_id` integer NOT NULL,
	`key_id` integer NOT NULL,
	`name` text NOT NULL,
	`shared` integer NOT NULL,
	`gpu_info` text,
	`hourly_price` real,
	`enrolled_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`claimed_at` text,
	`claimed_task` integer,
	`revoked_at` text,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "box_hourly_price" CHECK("box"."hourly_price" >= 0)
);
--> statement-breakpoint
CREATE UNIQUE INDEX `box_key` ON `box` (`key_id`);--> statement-breakpoint
CREATE INDEX `box_user` ON `box` (`user_id`);--> statement-breakpoint
CREATE INDEX `box_live` ON `box` (`id`) WHERE revoked_at is null;--> statement-breakpoint
CREATE TABLE `box_enrolment` (
	`token_hash` text PRIMARY KEY NOT NULL,
	`user_id` integer NOT NULL,
	`name` text,
	`shared` integer NOT NULL,
	`hourly_price` real,
	`days` real NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`expires_at` text NOT NULL,
	`used_at` text,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `box_enrolment_expiry` ON `box_enrolment` (`expires_at`);--> statement-breakpoint
CREATE TABLE `lost_sweep` (
	`id` integer PRIMARY KEY NOT NULL,
	`swept_at` text NOT NULL,
	`grace_until` text NOT NULL,
	`place` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE TABLE `queue_lane` (
	`user_id` integer NOT NULL,
	`labels` text NOT NULL,
	`min_gpu_memory_gb` integer NOT NULL,
	`ready` integer NOT NULL,
	`head_priority` integer,
	`head_task` integer,
	PRIMARY KEY(`user_id`, `labels`, `min_gpu_memory_gb`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `queue_release` (
	`task_id` integer PRIMARY KEY NOT NULL
);
--> statement-breakpoint
CREATE TABLE `queue_turn` (
	`user_id` integer PRIMARY KEY NOT NULL,
	`running` integer DEFAULT 0 NOT NULL,
	`served_at` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `task_dependency` (
	`depends_on` integer NOT NULL,
	`task_id` integer NOT NULL,
	`met` integer DEFAULT false NOT NULL,
	PRIMARY KEY(`depends_on`, `task_id`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `task_dependency_task` ON `task_dependency` (`task_id`);--> statement-breakpoint
CREATE INDEX `task_dependency_unmet` ON `task_dependency` (`depends_on`,`task_id`) WHERE met = 0;--> statement-breakpoint
ALTER TABLE `training_task` ADD `priority` integer CHECK(`priority` between -1000000 and 1000000);--> statement-breakpoint
ALTER TABLE `training_task` ADD `labels` text;--> statement-breakpoint
ALTER TABLE `training_task` ADD `min_gpu_memory_gb` integer CHECK(`min_gpu_memory_gb` >= 0);--> statement-breakpoint
ALTER TABLE `training_task` ADD `max_attempts` integer CHECK(`max_attempts` >= 1);--> statement-breakpoint
ALTER TABLE `training_task` ADD `not_before` text;--> statement-breakpoint
ALTER TABLE `training_task` ADD `attempt_limit` integer;--> statement-breakpoint
ALTER TABLE `training_task` ADD `queue_waiting` integer;--> statement-breakpoint
ALTER TABLE `training_task` ADD `queue_due_at` text;--> statement-breakpoint
ALTER TABLE `training_task` ADD `agent` text;--> statement-breakpoint
CREATE INDEX `training_task_ready` ON `training_task` (`user_id`,`labels`,`min_gpu_memory_gb`,priority desc,`id`) WHERE queue_waiting = 0 and status = 'pending' and deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_queue` ON `training_task` (priority desc,`id`) WHERE queue_waiting is not null and status = 'pending' and deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_queue_user` ON `training_task` (`user_id`,priority desc,`id`) WHERE queue_waiting is not null and status = 'pending' and deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_due` ON `training_task` (`queue_due_at`) WHERE queue_due_at is not null;--> statement-breakpoint
CREATE INDEX `training_task_running` ON `training_task` (`key_id`,`agent`) WHERE status = 'running' and agent is not null;