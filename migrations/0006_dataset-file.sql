ALTER TABLE `task_config` ADD `dataset_path` text;--> statement-breakpoint
ALTER TABLE `task_config` ADD `dataset_original` blob;