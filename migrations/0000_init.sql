CREATE TABLE `api_key` (
	`id` integer PRIMARY KEY NOT NULL,
	`jti` text NOT NULL,
	`user_id` integer NOT NULL,
	`name` text NOT NULL,
	`scopes` text NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`days` real,
	`expires_at` text,
	`revoked_at` text,
	`last_used_at` text,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `api_key_jti_unique` ON `api_key` (`jti`);--> statement-breakpoint
CREATE INDEX `api_key_user` ON `api_key` (`user_id`);--> statement-breakpoint
CREATE TABLE `dataset` (
	`id` integer PRIMARY KEY NOT NULL,
	`hash` text NOT NULL,
	`content_hash` text,
	`image_count` integer,
	`tag_distribution` text,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `dataset_hash_unique` ON `dataset` (`hash`);--> statement-breakpoint
CREATE TABLE `log_chunk` (
	`task_id` integer NOT NULL,
	`attempt` integer NOT NULL,
	`chunk` integer NOT NULL,
	`arrival` integer NOT NULL,
	`first_step` integer NOT NULL,
	`last_step` integer NOT NULL,
	`count` integer NOT NULL,
	`size` integer NOT NULL,
	`summary` text NOT NULL,
	`blocks` text NOT NULL,
	`points` text NOT NULL,
	PRIMARY KEY(`task_id`, `attempt`, `chunk`)
);
--> statement-breakpoint
CREATE TABLE `metric_summary` (
	`task_id` integer NOT NULL,
	`metric` text NOT NULL,
	`count` integer NOT NULL,
	`nonfinite_count` integer NOT NULL,
	`min` real,
	`max` real,
	`last` real,
	`sum` real,
	PRIMARY KEY(`task_id`, `metric`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `metric_summary_last` ON `metric_summary` (`metric`,`last`);--> statement-breakpoint
CREATE TABLE `stored_object` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`object_key` text NOT NULL,
	`task_id` integer NOT NULL,
	`size` integer NOT NULL,
	`sha256` text NOT NULL,
	`state` text DEFAULT 'uploading' NOT NULL,
	`verified` text,
	`upload_id` text,
	`part_size` integer,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`sweep_at` text,
	`media_type` text,
	`rank` integer,
	`conv_rank` integer,
	`alpha` real,
	`algorithm` text,
	`base_arch` text,
	`tensor_count` integer,
	`dtype` text,
	`metadata` text,
	`warnings` text,
	CONSTRAINT "stored_object_state" CHECK("stored_object"."state" = 'uploading' or "stored_object"."state" = 'complete' or "stored_object"."state" = 'aborted' or "stored_object"."state" = 'removed'),
	CONSTRAINT "stored_object_verified" CHECK("stored_object"."verified" = 'sha256' or "stored_object"."verified" = 'parts' or "stored_object"."verified" = 'size'),
	CONSTRAINT "stored_object_size" CHECK("stored_object"."size" >= 0)
);
--> statement-breakpoint
CREATE UNIQUE INDEX `stored_object_objectKey_unique` ON `stored_object` (`object_key`);--> statement-breakpoint
CREATE INDEX `stored_object_content` ON `stored_object` (`sha256`,`size`);--> statement-breakpoint
CREATE INDEX `stored_object_uploading` ON `stored_object` (`created_at`) WHERE state = 'uploading';--> statement-breakpoint
CREATE INDEX `stored_object_sweep` ON `stored_object` (`sweep_at`) WHERE state = 'aborted';--> statement-breakpoint
CREATE TABLE `task_attempt` (
	`task_id` integer NOT NULL,
	`attempt` integer NOT NULL,
	`key_id` integer,
	`status` text DEFAULT 'running' NOT NULL,
	`started_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`heartbeat_at` text,
	`finished_at` text,
	`duration_sec` real,
	`cost` real,
	`from_step` integer,
	`gpu_info` text,
	`cuda_version` text,
	`hourly_price` real,
	`exit_code` integer,
	`failure_reason` text,
	`error_message` text,
	`opened_with` text,
	`last_seq` integer DEFAULT 0 NOT NULL,
	`gaps` text DEFAULT '[]' NOT NULL,
	`received` integer DEFAULT 0 NOT NULL,
	`open_chunk` integer DEFAULT 0 NOT NULL,
	`open_count` integer DEFAULT 0 NOT NULL,
	`open_size` integer DEFAULT 0 NOT NULL,
	`points` integer DEFAULT 0 NOT NULL,
	`bytes` integer DEFAULT 0 NOT NULL,
	`first_step` integer,
	`last_step` integer,
	`overlap` integer DEFAULT false NOT NULL,
	`node_info` text,
	`summary` text DEFAULT '{}' NOT NULL,
	`tail` text,
	PRIMARY KEY(`task_id`, `attempt`),
	CONSTRAINT "attempt_number" CHECK("task_attempt"."attempt" >= 1)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `task_config` (
	`task_id` integer PRIMARY KEY NOT NULL,
	`format` text NOT NULL,
	`path` text,
	`sha256` text NOT NULL,
	`snapshot` text,
	`original` blob NOT NULL
);
--> statement-breakpoint
CREATE TABLE `task_dataset` (
	`task_id` integer NOT NULL,
	`dataset_id` integer NOT NULL,
	`name` text NOT NULL,
	`source_path` text,
	`repeats` integer,
	PRIMARY KEY(`task_id`, `dataset_id`, `name`),
	FOREIGN KEY (`dataset_id`) REFERENCES `dataset`(`id`) ON UPDATE no action ON DELETE no action
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `training_task` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`user_id` integer NOT NULL,
	`key_id` integer,
	`task_name` text NOT NULL,
	`status` text DEFAULT 'pending' NOT NULL,
	`attempt` integer DEFAULT 0 NOT NULL,
	`version` integer DEFAULT 1 NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`started_at` text,
	`finished_at` text,
	`heartbeat_at` text,
	`deleted_at` text,
	`model_type` text,
	`base_arch` text,
	`trainer` text,
	`network_algo` text,
	`experiment_group` text,
	`base_model_path` text,
	`lora_rank` integer,
	`lora_alpha` real,
	`dropout` real,
	`conv_lora_rank` integer,
	`conv_alpha` real,
	`batch_size` integer,
	`gradient_accumulation_steps` integer,
	`epochs` real,
	`max_steps` integer,
	`learning_rate` real,
	`optimizer` text,
	`scheduler` text,
	`mixed_precision` text,
	`seed` integer,
	`resolution` text,
	`data_dir` text,
	`metadata_path` text,
	`output_dir` text,
	`log_dir` text,
	`sample_prompts` text,
	`save_every_n_epochs` integer,
	`caption_tag_delim` text,
	`gpu_info` text,
	`cuda_version` text,
	`git_commit` text,
	`hourly_price` real,
	`cost` real,
	`final_loss` real,
	`final_loss_reported` integer DEFAULT false NOT NULL,
	`convergence_step` integer,
	`total_duration_sec` real,
	`exit_code` integer,
	`failure_reason` text,
	`error_message` text,
	`weights_path` text,
	`parent_task_id` integer,
	`import_source` text,
	`cancel_requested` integer DEFAULT false NOT NULL,
	`settle_at` text,
	`progress` text,
	`tags` text,
	`notes` text,
	`node_info` text,
	`command` text,
	`additional_args` text,
	`defaulted_fields` text,
	`registration_key` text NOT NULL,
	`registration_hash` text NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "task_status" CHECK("training_task"."status" = 'pending' or "training_task"."status" = 'running' or "training_task"."status" = 'success' or "training_task"."status" = 'failed' or "training_task"."status" = 'cancelled'),
	CONSTRAINT "task_model_type" CHECK("training_task"."model_type" = 'stable-diffusion' or "training_task"."model_type" = 'llm'),
	CONSTRAINT "task_mixed_precision" CHECK("training_task"."mixed_precision" = 'fp16' or "training_task"."mixed_precision" = 'bf16' or "training_task"."mixed_precision" = 'no'),
	CONSTRAINT "task_failure_reason" CHECK("training_task"."failure_reason" = 'error' or "training_task"."failure_reason" = 'oom' or "training_task"."failure_reason" = 'lost' or "training_task"."failure_reason" = 'preempted'),
	CONSTRAINT "task_lora_rank" CHECK("training_task"."lora_rank" between 1 and 65536),
	CONSTRAINT "task_conv_lora_rank" CHECK("training_task"."conv_lora_rank" between 0 and 65536),
	CONSTRAINT "task_dropout" CHECK("training_task"."dropout" between 0 and 1),
	CONSTRAINT "task_batch_size" CHECK("training_task"."batch_size" >= 1),
	CONSTRAINT "task_accumulation" CHECK("training_task"."gradient_accumulation_steps" >= 1),
	CONSTRAINT "task_epochs" CHECK("training_task"."epochs" >= 0),
	CONSTRAINT "task_max_steps" CHECK("training_task"."max_steps" >= 0),
	CONSTRAINT "task_learning_rate" CHECK("training_task"."learning_rate" >= 0),
	CONSTRAINT "task_save_every" CHECK("training_task"."save_every_n_epochs" >= 0),
	CONSTRAINT "task_hourly_price" CHECK("training_task"."hourly_price" >= 0),
	CONSTRAINT "task_attempt" CHECK("training_task"."attempt" >= 0)
);
--> statement-breakpoint
CREATE UNIQUE INDEX `training_task_registration` ON `training_task` (`registration_key`);--> statement-breakpoint
CREATE INDEX `training_task_status` ON `training_task` (`status`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_user` ON `training_task` (`user_id`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_trash` ON `training_task` (`id`) WHERE deleted_at is not null;--> statement-breakpoint
CREATE INDEX `training_task_settle` ON `training_task` (`settle_at`) WHERE settle_at is not null;--> statement-breakpoint
CREATE TABLE `upload_part` (
	`object_id` integer NOT NULL,
	`number` integer NOT NULL,
	`etag` text NOT NULL,
	`size` integer NOT NULL,
	PRIMARY KEY(`object_id`, `number`),
	FOREIGN KEY (`object_id`) REFERENCES `stored_object`(`id`) ON UPDATE no action ON DELETE no action
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `user` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`role` text DEFAULT 'member' NOT NULL,
	`active` integer DEFAULT true NOT NULL,
	`version` integer DEFAULT 1 NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	CONSTRAINT "user_role" CHECK("user"."role" = 'admin' or "user"."role" = 'member' or "user"."role" = 'viewer')
);
--> statement-breakpoint
CREATE UNIQUE INDEX `user_name_unique` ON `user` (`name`);--> statement-breakpoint
CREATE TABLE `weight` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`task_id` integer NOT NULL,
	`attempt` integer NOT NULL,
	`object_id` integer NOT NULL,
	`kind` text NOT NULL,
	`filename` text NOT NULL,
	`size` integer NOT NULL,
	`sha256` text NOT NULL,
	`state` text DEFAULT 'uploading' NOT NULL,
	`epoch` real,
	`step` integer,
	`prompt` text,
	`seed` integer,
	`group` text,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`completed_at` text,
	`deleted_at` text,
	FOREIGN KEY (`object_id`) REFERENCES `stored_object`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "weight_kind" CHECK("weight"."kind" = 'final' or "weight"."kind" = 'checkpoint' or "weight"."kind" = 'state' or "weight"."kind" = 'sample' or "weight"."kind" = 'config'),
	CONSTRAINT "weight_state" CHECK("weight"."state" = 'uploading' or "weight"."state" = 'complete' or "weight"."state" = 'aborted'),
	CONSTRAINT "weight_size" CHECK("weight"."size" >= 0)
);
--> statement-breakpoint
CREATE INDEX `weight_task` ON `weight` (`task_id`);--> statement-breakpoint
CREATE INDEX `weight_object` ON `weight` (`object_id`);--> statement-breakpoint
CREATE INDEX `weight_by_kind` ON `weight` (`kind`) WHERE deleted_at is null;--> statement-breakpoint
CREATE UNIQUE INDEX `weight_identity` ON `weight` (`task_id`,`attempt`,`kind`,`filename`,`sha256`,`size`) WHERE deleted_at is null and state <> 'aborted';