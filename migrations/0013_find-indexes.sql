DROP INDEX `training_task_status`;--> statement-breakpoint
DROP INDEX `training_task_user`;--> statement-breakpoint
DROP INDEX `training_task_trash`;--> statement-breakpoint
CREATE INDEX `training_task_created` ON `training_task` (`created_at`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_setup` ON `training_task` (`model_type`,`epochs`,`learning_rate`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_loss` ON `training_task` (`final_loss`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_result` ON `training_task` (`batch_size`,`final_loss`,`convergence_step`,`total_duration_sec`,`deleted_at`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_status` ON `training_task` (`status`,`created_at`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_user` ON `training_task` (`user_id`,`created_at`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `training_task_trash` ON `training_task` (`deleted_at`) WHERE deleted_at is not null;