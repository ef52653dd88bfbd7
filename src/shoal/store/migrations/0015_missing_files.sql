-- Files that an assessment names and that are not there are missing; what is claimed is a task.
UPDATE assessments SET answer = REPLACE(answer, '"claimed_files":', '"missing_files":')
WHERE answer LIKE '%"claimed_files":%';
